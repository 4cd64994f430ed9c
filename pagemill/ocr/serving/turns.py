"""A queue in which several parties wait side by side: one of each in turn, so a long request delays no short one."""

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")


class TurnQueue(Generic[ItemT]):
    """Items of parties; those of one party keep their order. Not safe for threads by itself."""

    def __init__(self) -> None:
        self.parties: OrderedDict[Hashable, deque[ItemT]] = OrderedDict()  # whose turn is next comes first

    def __len__(self) -> int:
        return sum(map(len, self.parties.values()))

    def __bool__(self) -> bool:
        return bool(self.parties)

    def __iter__(self) -> Iterator[ItemT]:
        for items in self.parties.values():
            yield from items

    def put(self, party: Hashable, item: ItemT) -> None:
        """Add an item behind those of its party."""
        self.parties.setdefault(party, deque()).append(item)

    def take(self) -> ItemT:
        """Remove and return the next item of the party whose turn it is; raises IndexError when there is none."""
        if not self.parties:
            raise IndexError("nobody waits")
        party, items = next(iter(self.parties.items()))
        item = items.popleft()
        if items:
            self.parties.move_to_end(party)
        else:
            del self.parties[party]
        return item
