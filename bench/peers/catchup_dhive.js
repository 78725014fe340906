// dhive's or dsteem's getBlocks from block 1 on. Arguments: URL, seconds, package.
'use strict'

const [url, seconds, name] = process.argv.slice(2)
const saw = require('./window')(Number(seconds))
const { Client, BlockchainMode } = require(name)

const client = name === 'dsteem' ? new Client(url) : new Client([url])

async function main () {
  const stream = client.blockchain.getBlockStream({ from: 1, mode: BlockchainMode.Latest })
  for await (const block of stream) {
    // As Steem numbers them: a block's id begins with its number.
    const num = parseInt(block.block_id.slice(0, 8), 16)
    for (const transaction of block.transactions) {
      for (const [type] of transaction.operations) if (type === 'comment') saw(num)
    }
  }
}

main().catch((error) => { console.error(error); process.exit(1) })
