// Another broker than mosquitto. Arguments: JSON { port }. It says whom it lets in.
import { createServer } from 'node:net'
import { Aedes } from 'aedes'
import { say } from './lines.mjs'

const { port } = JSON.parse(process.argv[2])
const broker = await Aedes.createBroker({
  authenticate: (client, username, password, callback) => {
    say({ connected: client.id, username, password: password?.toString() ?? null })
    callback(null, true)
  }
})
createServer(broker.handle).listen(port, '127.0.0.1', () => say({ ready: true }))
process.stdin.resume().on('close', () => process.exit(0))
