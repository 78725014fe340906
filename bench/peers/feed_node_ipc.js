// node-ipc: the server broadcasts each operation as an event of its type, the clients listen.
//
//     feed_node_ipc.js publish PATH PAYLOAD STOPPED [unpaced] | subscribe PATH SECONDS CLIENTS
//
// The server has no word for "enough": it keeps in memory whatever a client has not read. And a
// client of version 9.1.1 parses what it got only when that ends with a whole message, so one that
// is behind falls behind further. So the next block is published when the clients have taken the
// last one, but for STOPPED of them: this is the most that node-ipc can do. `unpaced` is without that,
// as its own examples are.
'use strict'

const fs = require('fs')
const readline = require('readline')
const { fork } = require('child_process')
const ipc = require('node-ipc')

// Those that the payload has. (A listener for '*' makes version 9.1.1 end at a lost connection.)
const TYPES = [
  'vote', 'comment', 'comment_options', 'custom_json', 'transfer', 'claim_reward_balance',
  'limit_order_create', 'account_update', 'delegate_vesting_shares', 'transfer_to_vesting'
]
const [job, path, argument, last, unpaced] = process.argv.slice(2)
const STOPPED = Number(last)

ipc.config.id = 'broadcaster'
ipc.config.silent = true
ipc.config.maxConnections = 200

function publish () {
  const blocks = fs.readFileSync(argument, 'utf8').trim().split('\n').map(JSON.parse)
  let number = 0
  let place = 0

  function next () {
    const waiting = ipc.server.sockets.map((each) => each.writableLength).sort((a, b) => a - b)
    if (unpaced || waiting.slice(0, waiting.length - STOPPED).every((bytes) => bytes === 0)) {
      for (const [type, value] of blocks[place++ % blocks.length]) {
        ipc.server.broadcast(type, { number: number++, value })
      }
    }
    setImmediate(next)
  }

  ipc.serve(path, () => {
    console.log('ready')
    readline.createInterface({ input: process.stdin }).once('line', next)
  })
  ipc.server.start()
}

function subscribe (seconds) {
  let begun = null
  let first = 0
  let count = 0

  function saw ({ number }) {
    const now = Number(process.hrtime.bigint()) / 1e9
    if (begun === null) {
      begun = now
      first = number
    }
    count += 1
    if (count < 0 || now - begun < seconds) return
    const told = { operations: count, seconds: now - begun, lost: number + 1 - first - count }
    console.log(JSON.stringify(told))
    count = -Infinity
  }

  ipc.connectTo('broadcaster', path, () => {
    const server = ipc.of.broadcaster
    server.on('connect', () => console.log(`ready ${process.pid}`))
    for (const type of TYPES) server.on(type, saw)
  })
}

if (job === 'publish') publish()
else if (Number(last) === 1) subscribe(Number(argument))
else {
  // They die with this process, however it ends.
  const dying = { execPath: 'setpriv', execArgv: ['--pdeathsig', 'KILL', '--', process.execPath] }
  for (let each = 0; each < Number(last); each++) {
    fork(__filename, [job, path, argument, '1'], dying)
  }
}
