"""beem's ``Blockchain.stream`` at the head. Argument: URL."""

from __future__ import annotations

import calendar
import sys
from pathlib import Path

from beem import Steem
from beem.blockchain import Blockchain

sys.path.insert(0, str(Path(__file__).parent))
from heard import Heard

heard = Heard()
chain = Blockchain(blockchain_instance=Steem(node=[sys.argv[1]]), mode="head")
for operation in chain.stream():
    heard.saw(operation["block_num"], calendar.timegm(operation["timestamp"].timetuple()))
