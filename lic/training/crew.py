"""The devices that train together: one, several of one machine, or those of several machines.

Each replica learns from its rows of a batch, and the means of losses and gradients over all of them are those of the
whole batch on one device; `lic.training.noise` draws for the whole batch, too. So `--batchsize` means the same however
many there are.

Gotchas:
* Between machines every word is a collective operation: all of them have to come to it, in the same order.
* Only the first machine reads and writes the run's folder. The others get what it read by `spread`.
* What no replica changes (averages, means, counts) is made outside `scope`, so that the first machine can store it
  without asking the others.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterable, Iterator

import tensorflow as tf

from lic import ports
from lic.clock import Clock
from lic.data import WHOLE, Share, Source
from lic.errors import DataError, UsageError, UserError
from lic.interrupts import killed_at_once
from lic.op_errors import reason_of
from lic.training import cluster as clusters
from lic.training import reports
from lic.training.cluster import Cluster

# What TensorFlow says where a machine is gone depends on the moment.
_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError,
         tf.errors.FailedPreconditionError)
_UNCLEAR = (tf.errors.InternalError, tf.errors.UnknownError)


def gather(batchsize: int, xla: bool = False) -> Crew:
    """The crew of this process: TF_CONFIG's machines; else all GPUs that can be seen; else the one device there is.

    With several machines this has to come before anything that TensorFlow computes, and waits for them.

    Args:
      batchsize: pictures a step.
      xla: whether the whole step is to be compiled.
    Raises:
      UsageError: TF_CONFIG makes no sense, or the devices can't share such a step. DataError: the machines do not meet.
    """
    cluster = clusters.from_environment()
    if cluster:
        _check_step(batchsize, xla, len(cluster.addresses) * max(1, len(tf.config.list_physical_devices("GPU"))))
        return Machines(cluster)
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) == 1:
        return Crew()
    _check_step(batchsize, xla, len(devices))
    return Devices(tf.distribute.MirroredStrategy([device.name for device in devices]))


def _check_step(batchsize: int, xla: bool, replicas: int) -> None:
    if batchsize % replicas:
        raise UsageError(f"--batchsize {batchsize} can't be shared evenly by {replicas} devices: give a multiple of "
                         f"{replicas}, or fewer devices (CUDA_VISIBLE_DEVICES)")
    if xla:
        raise UsageError(f"--xla compiles the step of one device, and there are {replicas}: leave it out")


class Crew:
    """One device alone.

    Attributes:
      leads: whether this process reads and writes the run's folder, and speaks.
      mean_of: what makes one gradient of those of all replicas, for the optimizer; None where there is one.
    """

    leads = True
    mean_of: Callable | None = None

    def scope(self):
        """Where weights are made."""
        return contextlib.nullcontext()

    def guard(self):
        """What TensorFlow says of machines that are gone, for people."""
        return contextlib.nullcontext()

    def clock(self, minutes: float) -> Clock:
        """A clock by which all go."""
        return Clock(minutes)

    def batches(self, source: Source, step: int) -> tf.data.Dataset:
        """The rows of this process, of each batch from a step on."""
        return source.batches(step)

    def learn(self, learn: Callable, rows: tf.Tensor):
        """The losses that `learn` gives for the rows of this process; means over all replicas. For a traced step."""
        return learn(rows)

    def any(self, flag: bool) -> bool:
        """Whether somebody says so."""
        return flag

    def spread(self, variables: Iterable[tf.Variable]) -> None:
        """Gives all machines the values that the first has."""

    def lead(self, action: Callable[[], None]) -> None:
        """Has the first machine do something; where it can't, all end."""
        action()


class Devices(Crew):
    """Several devices of this machine.

    Args:
      strategy: of tf.distribute.
      share: the part of each batch that is this machine's.
    """

    def __init__(self, strategy: tf.distribute.Strategy, share: Share = WHOLE):
        self._strategy, self._share = strategy, share

    def scope(self):
        return self._strategy.scope()

    @property
    def _here(self) -> int:
        """Replicas of this process."""
        return self._strategy.num_replicas_in_sync // self._share.parts

    def batches(self, source: Source, step: int) -> tf.data.Dataset:
        return source.batches(step, self._share)

    def learn(self, learn: Callable, rows: tf.Tensor):
        losses = self._strategy.run(lambda: tf.stack(learn(self._of_replica(rows))))
        return tf.unstack(self._strategy.reduce("MEAN", losses, axis=None))

    def _of_replica(self, rows: tf.Tensor) -> tf.Tensor:
        each = tf.reshape(rows, (self._here, -1, *rows.shape[1:]))
        return each[tf.distribute.get_replica_context().replica_id_in_sync_group % self._here]

    @staticmethod
    def mean_of(gradients_and_variables):
        """The whole batch's gradients, dense: where rows of a table count twice, their norm is that of the sum."""
        gradients, variables = zip(*gradients_and_variables)
        dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
        return list(zip(tf.distribute.get_replica_context().all_reduce("MEAN", dense), variables))


class Machines(Devices):
    """Several machines, each with one device or more.

    Args:
      cluster: who they are.
    Raises:
      UsageError: this machine's port is taken. DataError: they do not meet.
    """

    def __init__(self, cluster: Cluster):
        self.leads = cluster.number == 0
        ports.demand("0.0.0.0", cluster.port, f"port of {clusters.VARIABLE}")   # TensorFlow would say it at length
        reports.say(f"machine {cluster.number + 1} of {len(cluster.addresses)}, waiting for the others; the first, "
                    f"{cluster.addresses[0]}, reads and writes the folder of the run")
        # SIGTERM is left alone: TensorFlow sets a handler of its own meanwhile, which does nothing.
        with self.guard(), killed_at_once((signal.SIGINT,)):
            super().__init__(tf.distribute.MultiWorkerMirroredStrategy(), Share(cluster.number, len(cluster.addresses)))
        self._sum = tf.function(self._sums, autograph=False)

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        with self.guard(), super().scope():
            yield

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        try:
            yield
        except _LOST:
            raise DataError("another machine of TF_CONFIG's cluster has ended or can't be reached: start the same "
                            "command on all of them again, and it goes on from the last checkpoint") from None
        except _UNCLEAR as error:
            raise DataError(f"training with the other machines failed ({reason_of(error)}): start the same "
                            "command on all of them again, and it goes on from the last checkpoint") from None

    def clock(self, minutes: float) -> Clock:
        return _LedClock(self, minutes) if minutes else Clock(minutes)

    def any(self, flag: bool) -> bool:
        with self.guard():
            return bool(self._sum([tf.constant(float(flag))])[0] > 0)

    def of_first(self, number: float) -> float:
        """What the first machine says, as float32."""
        with self.guard():
            return float(self._sum([tf.constant(number)], of_first=True)[0])

    def spread(self, variables: Iterable[tf.Variable]) -> None:
        with self.guard():
            tf.function(self._spread, autograph=False)(list(variables))

    def _spread(self, variables: list[tf.Variable]) -> None:
        for v, value in zip(variables, self._sums([v.read_value() for v in variables], of_first=True)):
            v.assign(value)

    def lead(self, action: Callable[[], None]) -> None:
        error = None
        try:
            if self.leads:
                action()
        except UserError as raised:
            error = raised
        if self.any(error is not None):
            raise error or DataError("the first machine can't go on; it says why")

    def _sums(self, values: list[tf.Tensor], of_first: bool = False) -> list[tf.Tensor]:
        """Of the values that the machines have, counted once for each replica; or those of the first replica alone."""
        def of_replica():
            context = tf.distribute.get_replica_context()
            counts = context.replica_id_in_sync_group == 0 if of_first else True
            return [context.all_reduce("SUM", tf.where(counts, value, tf.zeros_like(value))) for value in values]

        return [self._strategy.experimental_local_results(of_all)[0] for of_all in self._strategy.run(of_replica)]


class _LedClock(Clock):
    """The first machine's."""

    def __init__(self, machines: Machines, minutes: float):
        super().__init__(minutes)
        self._machines = machines

    @property
    def elapsed(self) -> float:
        return self._machines.of_first(super().elapsed)
