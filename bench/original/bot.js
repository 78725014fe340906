// The article's second process: connects to the first and prints the link of each new post.
// Rebuilt from its description.
'use strict'

const ipc = require('node-ipc')

ipc.config.id = 'bot'
ipc.config.silent = true
ipc.config.retry = 1500

ipc.connectTo('broadcaster', process.env.SOCKET, () => {
  ipc.of.broadcaster.on('comment', (comment) => {
    if (comment.parent_author === '') {
      console.log(`https://steemit.com/@${comment.author}/${comment.permlink}`)
    }
  })
})
