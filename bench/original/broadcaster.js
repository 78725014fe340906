// The article's first process: streams the chain with steem-js, passes each operation on by type.
// Rebuilt from its description. NODE_URL and SOCKET stand in for what it had written into it.
'use strict'

const ipc = require('node-ipc')
const steem = require('steem-original')

steem.api.setOptions({ url: process.env.NODE_URL })

ipc.config.id = 'broadcaster'
ipc.config.silent = true

ipc.serve(process.env.SOCKET, () => {
  steem.api.streamOperations((error, operation) => {
    if (error) {
      console.error(error)
      return
    }
    const [type, body] = operation
    ipc.server.broadcast(type, body)
  })
})

ipc.server.start()
