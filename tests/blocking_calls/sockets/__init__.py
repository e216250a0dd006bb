"""Sockets, and the waits for many descriptors."""

from . import connecting as connecting
from . import pair as pair
from . import receiving as receiving
from . import sending as sending
from . import watching as watching
