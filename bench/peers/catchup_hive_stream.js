// hive-stream from block 1 on, without its pause between blocks. Arguments: URL, seconds.
'use strict'

const [url, seconds] = process.argv.slice(2)
const saw = require('./window')(Number(seconds))
const { Streamer } = require('hive-stream')

const streamer = new Streamer({
  API_NODES: [url],
  LAST_BLOCK_NUMBER: 1,
  BLOCK_CHECK_INTERVAL: 0
})
streamer.onPost((op, blockNum) => saw(blockNum))
streamer.onComment((op, blockNum) => saw(blockNum))
streamer.start()
