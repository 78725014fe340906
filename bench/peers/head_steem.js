// steem-js' streamOperations at the head. Argument: URL.
//
// It tells no block of an operation, so the stamps are taken from the answers that its own code
// gets: streamOperations goes through getBlock.
'use strict'

const steem = require('steem')

steem.api.setOptions({ url: process.argv[2] })

let current = null
const getBlock = steem.api.getBlock.bind(steem.api)
steem.api.getBlock = (num, callback) => getBlock(num, (error, block) => {
  current = block && { block: num, stamp: Date.parse(block.timestamp + 'Z') }
  callback(error, block)
})

let told = 0
steem.api.streamOperations('head', (error) => {
  if (error) {
    console.error(error)
    process.exit(1)
  }
  if (current.block === told) return
  told = current.block
  const late = (Date.now() - current.stamp) / 1000
  console.log(JSON.stringify({ block: told, late }))
})
