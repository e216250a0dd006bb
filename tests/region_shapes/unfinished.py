"""Shapes: where an exception would be swallowed, or leave a half-made thing."""

# ruff: noqa: ARG002  (not every shape needs a folder)
from __future__ import annotations

import functools
import gc
import importlib
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

from .base import Shape, step

# Where there is no GIL, the last reference may be one that is merged later.
FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()


class Finalizers(Shape):
    class Finalized:
        of: Shape

        def __del__(self) -> None:
            self.of.began += 1  # never
            step()  # never
            self.of.ended += 1  # never

    class Renamed(Finalized):
        def finish(this, *_: Any) -> None:  # noqa: N805
            this.of.began += 1  # never
            step()  # never
            this.of.ended += 1  # never

        __del__ = finish

    class Inherited(Renamed):
        pass

    class ByClass(Finalized):
        @classmethod
        def __del__(cls) -> None:
            cls.of.began += 1  # never
            step()  # never
            cls.of.ended += 1  # never

    class ByObject:
        """What runs is not told by what it is called or given, but by where it is called."""

        class Finish:
            of: Shape

            def __call__(self) -> None:
                self.of.began += 1  # never
                step()  # never
                self.of.ended += 1  # never

        __del__ = Finish()

    def make(self, folder: Path) -> None:
        self.Finalized.of = self.ByObject.Finish.of = self

    def dies_here(self) -> int:
        local = self.Renamed()
        other = self.Finalized()
        third = self.ByClass()
        return 1 if local and other and third else 0

    def body(self) -> None:
        local = self.Finalized()
        local = self.Renamed()
        local = self.Inherited()
        del local
        unnamed = self.ByObject()
        unnamed = self.ByObject()
        del unnamed
        self.dies_here()
        step()  # here
        table = [self.Renamed(), self.Finalized()]
        table.clear()
        self.Renamed()
        step(len([self.Renamed()]))


class WeakCallbacks(Shape):
    class Referred:
        pass

    def gone(self, *_: Any) -> None:
        self.began += 1  # never
        step()  # never
        self.ended += 1  # never

    def dies_here(self) -> weakref.ref[Any]:
        local = self.Referred()
        return weakref.ref(local, lambda reference: self.gone())  # noqa: ARG005

    def body(self) -> None:
        local = self.Referred()
        first = weakref.ref(local, self.gone)
        weakref.finalize(local, self.gone, 1)
        del local
        assert first() is None or FREE_THREADED
        step()  # here
        second = self.dies_here()
        assert second() is None or FREE_THREADED
        local = self.Referred()
        third = weakref.ref(local, functools.partial(self.gone, 1, 2))
        local = None
        del third


class Collector(Shape):
    """Objects in cycles: what runs for them runs wherever the collector begins."""

    def make(self, folder: Path) -> None:
        self.threshold = gc.get_threshold()
        gc.collect()
        gc.freeze()  # or each collection looks at all there is
        gc.set_threshold(15, 5, 5)
        self.ident = 0
        self.InCycle.of = self

    def remove(self) -> None:
        gc.set_threshold(*self.threshold)
        gc.unfreeze()
        gc.collect()

    class InCycle:
        of: Collector

        def __init__(self) -> None:
            self.me = self

        def finish(self) -> None:
            self.of.gone(None)  # never

        __del__ = finish

    def gone(self, _: Any) -> None:
        if threading.get_ident() == self.ident:  # the collector may begin in any thread
            self.began += 1  # never
            step()  # never
            self.ended += 1  # never

    def body(self) -> None:
        self.ident = threading.get_ident()
        references = []
        for _ in range(10):
            cycle: Any = self.InCycle()
            references.append(weakref.ref(cycle, self.gone))
            step()  # here
        cycle = None


class Imports(Shape):
    pause = 30_000
    name = "interruption_stress_imported"

    def make(self, folder: Path) -> None:
        source = """
            import sys
            from interruption_stress_shape import shape, step
            shape.began += 1
            step()
            class Made:
                step()
                def method(self):
                    step()
            Made().method()
            for _ in range(3):
                step()
            shape.ended += 1
        """
        lines = "\n".join(line[12:] for line in source.splitlines())
        (folder / f"{self.name}.py").write_text(lines)
        (folder / f"{self.name}_too.py").write_text(f"from {self.name} import *\n{lines}")
        self.helper = type(sys)("interruption_stress_shape")
        self.helper.shape = self
        self.helper.step = step
        sys.modules[self.helper.__name__] = self.helper
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()

    def remove(self) -> None:
        del sys.path[0]
        for name in (self.name, self.name + "_too", self.helper.__name__):
            sys.modules.pop(name, None)

    def body(self) -> None:
        sys.modules.pop("interruption_stress_imported", None)
        sys.modules.pop("interruption_stress_imported_too", None)
        import interruption_stress_imported  # whole

        step()  # here
        import interruption_stress_imported_too  # whole

        importlib.reload(interruption_stress_imported)  # whole
        assert interruption_stress_imported_too.Made

    def check(self) -> None:
        super().check()
        for name in (self.name, self.name + "_too"):
            module = sys.modules.get(name)
            assert module is None or module.Made
