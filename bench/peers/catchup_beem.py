"""beem's ``Blockchain.stream`` from block 1 on. Arguments: URL, seconds, the stream's options."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from beem import Steem
from beem.blockchain import Blockchain

sys.path.insert(0, str(Path(__file__).parent))
from window import Window

url, seconds, options = sys.argv[1], float(sys.argv[2]), json.loads(sys.argv[3])
window = Window(seconds)
chain = Blockchain(blockchain_instance=Steem(node=[url]), mode="head")
for operation in chain.stream(opNames=["comment"], start=1, **options):
    if window.saw(operation["block_num"]):
        os._exit(0)  # its threads would be waited for
