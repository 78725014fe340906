// dhive's block stream at the head. Argument: URL.
'use strict'

const { Client, BlockchainMode } = require('@hiveio/dhive')

async function main () {
  const client = new Client([process.argv[2]])
  for await (const block of client.blockchain.getBlockStream({ mode: BlockchainMode.Latest })) {
    if (!block.transactions.length) continue
    const told = {
      block: parseInt(block.block_id.slice(0, 8), 16),
      late: (Date.now() - Date.parse(block.timestamp + 'Z')) / 1000
    }
    console.log(JSON.stringify(told))
  }
}

main().catch((error) => { console.error(error); process.exit(1) })
