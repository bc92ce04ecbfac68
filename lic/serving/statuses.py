"""What both doors tell of models: how their versions stand, and their signatures."""

from __future__ import annotations

from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from lic.serving.models import Models
from lic.serving.refusals import Code, Refusal
from lic.serving.version import Version

SIGNATURES = "signature_def"   # the only kind of metadata that the protocol has


def number_of(spec) -> int | None:
    """The version that a ModelSpec asks for. Raises a Refusal for a label: none are given here."""
    if spec.version_label:
        raise Refusal(Code.INVALID_ARGUMENT, f"Unrecognized servable version label: {spec.version_label}")
    return spec.version.value if spec.HasField("version") else None


def signatures(version: Version) -> get_model_metadata_pb2.SignatureDefMap:
    """The signatures of a version."""
    return get_model_metadata_pb2.SignatureDefMap(signature_def=version.signature_defs)


def status(models: Models, name: str, number: int | None) -> get_model_status_pb2.GetModelStatusResponse:
    """How the versions of a model stand. Raises a Refusal where there are none."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for each, standing in models.standings(name, number).items():
        entry = response.model_version_status.add(version=each, state=standing.state)
        entry.status.error_message = standing.error
        if standing.error:
            entry.status.error_code = Code.UNKNOWN.value[0]
    return response
