"""Shapes of code for test_regions_stress.py, which interrupts them over and over, anywhere.

Each shape has a ``body`` to run in a region and a ``check`` to call after each delivery. Marks at
the ends of lines say where ThreadExit may come from:

    # never    it does not come from here, nor from anything called here
    # whole    not from anything called here
    # here     it does: of the lines of a shape that have this mark, at least one has to be hit

It never comes from code of other files than those in this folder, but for what a shape names in
``files``, and for the first thing that the functions in ``takers`` of threading.py do: take their
lock (S10b).
"""

from . import base as base
from . import coroutines as coroutines
from . import endless as endless
from . import functions as functions
from . import locks as locks
from . import managers as managers
from . import regions as regions
from . import unfinished as unfinished
from .base import SHAPES as SHAPES
from .base import Manager as Manager
from .base import Shape as Shape
from .base import step as step
