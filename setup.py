"""Packaging: the three papers, what they stand on, and the bundled weights.

`VERSION` is the one place where the version is written; the code reads it back through `importlib.metadata`.

Gotcha: the weights live in `res/weights` of a checkout and in `lic/res/weights` of an installed package. `package_dir`
below lays the one over the other; `lic` looks in both places.
"""

from pathlib import Path

from setuptools import find_packages, setup

VERSION = "0.1.0"

REQUIRES = [
    # TFC's entropy models are frozen on TF 2.14 and load only beside the TF that they were built against.
    "tensorflow==2.14.1",
    # The last release. Range coding tables have to be the same bits for the encoder and the decoder: an exact pin.
    "tensorflow-compression==2.14.1",
    # TF 2.14 can't import the code that protoc 5 and newer generate.
    "protobuf<5",
    # Through tensorflow-datasets: from 1.18 on its generated code asks for protobuf 5 or newer.
    "tensorflow-metadata<1.18",
    # Through tensorflow-metadata: from 1.67 on its generated code asks for protobuf 5 or newer.
    "googleapis-common-protos<1.67",
    # Training pictures. Imported only by the function that reads them.
    "tensorflow-datasets>=4.9.3",
    # tensorflow-datasets 4.9.10 imports it when it opens a data set, and does not ask for it.
    "importlib_resources",
    # TF 2.14 is compiled against the ABI of NumPy 1; 1.23.5 is what TF itself asks for.
    "numpy>=1.23.5,<2",
    # Reads and writes pictures with their ICC profile and EXIF. 10.1 changed how the plugin of a format names a
    # picture's mode.
    "Pillow>=10.1",
    # Interpolates rate-distortion curves (BD-rate). TFC asks for 1.11; any that has PCHIP does.
    "scipy>=1.7",
    # Rate-distortion plots. Imported only by the function that draws them.
    "matplotlib>=3.5",
    "tqdm>=4.60",
    "absl-py>=1.0",
    # tensorboard 2.14 imports pkg_resources, which setuptools dropped after version 80.
    "setuptools<81",
]

JAX_REQUIRES = [
    # Runs exported training steps. The last jax for Python 3.9; takes ml_dtypes 0.2.0, at which TF 2.14 holds it. Where
    # there is no TensorFlow newer ones do as well.
    "jax==0.4.30",
    "jaxlib==0.4.30",
]

EVALUATE_REQUIRES = [
    # The first with AVIF built in.
    "Pillow>=11.3",
    # JPEG XL. Under the GPL, so nothing but this extra and the tests ask for it. 1.3.4 is the last with a wheel for
    # Python 3.9; newer ones would be compiled there.
    "pillow-jxl-plugin>=1.3.4; python_version >= '3.10'",
    "pillow-jxl-plugin==1.3.4; python_version < '3.10'",
]

DEMO_REQUIRES = [
    # The page. 6 has the slider that wipes and HTML with its own styles; 7 is not known yet. It takes TF 2.14's numpy
    # and protobuf as they are, and Pillow below 13. For Python 3.9 there is none that takes a Pillow with AVIF.
    "gradio>=6.31,<7; python_version >= '3.10'",
    # As for `evaluate`: the first with AVIF built in.
    "Pillow>=11.3",
]

SERVE_REQUIRES = [
    # The messages of TensorFlow Serving; of the same release as TF, which it asks for.
    "tensorflow-serving-api==2.14.1",
    "grpcio",
    # From 1.63 on its generated code asks for protobuf 5 or newer.
    "grpcio-health-checking<1.63",
    # The first in which a request is given up with its client, and shutdown waits for those under way.
    "aiohttp>=3.9",
    "prometheus-client",
]

BEAM_REQUIRES = [
    # Runs corpora. Exact: its newer ones may ask for a newer protobuf than TF 2.14 bears; none since 2.70 is for Python
    # 3.9. It wants Pillow below 13 and pyarrow below 26.
    "apache-beam==2.77.0; python_version >= '3.10'",
]

TEST_REQUIRES = [
    *JAX_REQUIRES,
    *EVALUATE_REQUIRES,
    *DEMO_REQUIRES,
    *SERVE_REQUIRES,
    *BEAM_REQUIRES,
    # Exact, so that a new rule of a checker never turns an old commit red. The newest that still run on Python 3.9.
    "pytest==8.4.2",
    "filelock>=3.13",  # its processes share what takes long to make
    "pytest-xdist==3.8.0",  # two test files at a time: most of their time is one thread of Python that traces graphs
    "mypy==1.19.1",
    "ruff==0.17.5",
    # Drives the browser that looks at the page; the browser itself is Debian's package chromium.
    "playwright==1.65.2; python_version >= '3.10'",
    # Write and run the notebooks.
    "nbformat==5.10.4",
    "nbclient==0.10.2",
    "ipykernel==6.31.0",
    # Writes the checkpoints that `convert` is tested with. The second is the last for Python 3.9.
    "torch==2.13.0; python_version >= '3.10'",
    "torch==2.8.0; python_version < '3.10'",
]

CONVERT_REQUIRES = [
    # Reads the checkpoints. Before 2.10 a hostile file could write over memory (CVE-2026-24747), before 2.6 run code
    # (CVE-2025-32434); Python 3.9 has none from 2.10 on.
    "torch>=2.10; python_version >= '3.10'",
    "torch>=2.6; python_version < '3.10'",
]

# A tree without weights is a tree that has yet to be trained: not an error.
HAS_RES = (Path(__file__).parent / "res").is_dir()

PAPERS = ["lsk2023", "zyc2022", "hypmqw2022"]

setup(
    name="lic-tf",
    version=VERSION,
    description="Learned image compression with transformers, three papers on one TensorFlow code base",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.9,<3.12",  # the Pythons that TF 2.14.1 and TFC 2.14.1 both have wheels for
    install_requires=REQUIRES,
    extras_require={"test": TEST_REQUIRES, "convert": CONVERT_REQUIRES, "evaluate": EVALUATE_REQUIRES,
                    "beam": BEAM_REQUIRES, "demo": DEMO_REQUIRES, "jax": JAX_REQUIRES, "serve": SERVE_REQUIRES},
    py_modules=[*PAPERS, "arch_ops", "config"],
    packages=[
        *find_packages(include=["lic", "lic.*", "swin_transformers_tf", "swin_transformers_tf.*"]),
        *(["lic.res"] if HAS_RES else []),
    ],
    package_dir={"lic.res": "res"} if HAS_RES else {},
    package_data={
        "lic.res": ["weights/*/model.json", "weights/*/weights.npz", "weights/*/graphs.zip", "anchors/*.json"],
        "swin_transformers_tf": ["*.md", "LICENSE*"],  # what was changed against the published Swin code
    },
    include_package_data=False,
    entry_points={"console_scripts": [f"{paper}=lic.cli:{paper}" for paper in PAPERS]},
    zip_safe=False,
)
