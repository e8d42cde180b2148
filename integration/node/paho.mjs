// Paho JS in Node, driven by a test. It takes the WebSocket of the page that it thinks it is in.
import { WebSocket } from 'ws'
import { answer, say } from './lines.mjs'

globalThis.WebSocket = WebSocket
const { default: Paho } = await import('paho-mqtt')

const clients = new Map()

const operations = {
  // stay connects as an application does that leaves all else to the library. It has to subscribe by itself.
  stay ({ name, url, options, filters }) {
    const client = new Paho.Client(url, options.clientId)
    const state = { client, heard: new Set(), connects: 0, errors: [] }
    clients.set(name, state)
    client.onConnected = () => {
      state.connects++
      for (const filter of filters) client.subscribe(filter, { qos: 1 })
    }
    client.onConnectionLost = ({ errorCode }) => { if (errorCode !== 0) state.errors.push(errorCode) }
    client.onMessageArrived = (message) => { state.heard.add(message.payloadString) }
    client.connect({
      userName: options.username,
      password: options.password,
      cleanSession: options.clean,
      keepAliveInterval: options.keepalive,
      reconnect: true,
      mqttVersion: 4,
      mqttVersionExplicit: true,
      onFailure: ({ errorCode }) => { state.errors.push(errorCode) }
    })
    return {}
  },
  // state answers how a client that stays is, and whether it has heard a payload.
  state ({ name, payload }) {
    const { client, heard, connects, errors } = clients.get(name)
    return { connected: client.isConnected(), heard: heard.has(payload), connects, errors }
  }
}

answer((command) => operations[command.op](command))
say({ ready: true })
