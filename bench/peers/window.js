// How fast blocks come by: counted for some seconds from the first one on, then told as JSON.
'use strict'

module.exports = function window (seconds) {
  let begun = null
  let first = 0
  let block = 0
  let operations = 0

  // Counts one operation of a block; ends the process when the time is over.
  return function saw (blockNum) {
    const now = Number(process.hrtime.bigint()) / 1e9
    if (begun === null) {
      begun = now
      first = blockNum
    }
    operations += 1
    if (blockNum === block) return
    block = blockNum
    if (now - begun < seconds) return
    const told = { blocks: blockNum - first, seconds: now - begun, operations: operations - 1 }
    console.log(JSON.stringify(told))
    process.exit(0)
  }
}
