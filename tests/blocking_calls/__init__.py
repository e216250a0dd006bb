"""The table of blocking calls for test_blocking.py: an entry each, in a file or folder a family."""

from . import children as children
from . import files as files
from . import locks as locks
from . import process_locks as process_locks
from . import signals as signals
from . import sockets as sockets
from . import tls as tls
from . import waits as waits
from .base import CALLS as CALLS
from .base import Call as Call
from .base import family_of as family_of
from .base import made as made
from .base import named as named
from .base import outcome as outcome
