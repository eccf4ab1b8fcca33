from typing import Final, SupportsIndex

MAX_THREADS: Final[int]

def get_num_threads() -> int:
    """How many threads a kernel may use, the calling one included."""

def set_num_threads(n: SupportsIndex) -> None:
    """Let kernels use `n` threads (1 to 64), the calling one included; 1 turns threading off."""

def _wake_up(nanoseconds: int) -> int:
    """Set what waking a worker is taken to cost, and return what it was; for the tests."""

def _visits(count: int, nested: bool = False, nanoseconds: int = 0) -> list[int]:
    """How often `parallel_for` ran each of `count` tasks (all 1 if it is right); for the tests."""

def _meet(count: int, seconds: float, nanoseconds: float) -> bool:
    """Whether `count` tasks, expected to last that long together, ran all at once; for the tests.

    Each waits for the others, for so many seconds at most.
    """

def _usable_cpus() -> int:
    """CPUs that this process may run on."""
