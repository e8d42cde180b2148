// The examples of deploy/examples, played by a test as a page has them: with MQTT.js and deploy/browser/topicgate.js.
import mqtt from 'mqtt'
import { connect } from '../../deploy/browser/topicgate.js'
import { answer, say } from './lines.mjs'

const played = new Map()

const operations = {
  // start has a user begin a story, and waits for the connection.
  async start ({ name, story, user, url, tokens, more }) {
    const { start, options } = await import(`../../deploy/examples/${story}.js`)
    const events = []
    const client = connect(mqtt, url, { ...options?.(user, `${user}-page`), token: async () => (await fetch(`${tokens}?user=${user}`)).text() })
    const connected = new Promise((resolve) => client.once('connect', resolve))
    played.set(name, { client, events, actions: start(client, user, (event) => events.push(event), more ?? {}) })
    await connected
    return {}
  },
  async call ({ name, what, args }) {
    await played.get(name).actions[what](...args ?? [])
    return {}
  },
  // told answers what the page would show.
  told ({ name }) {
    return { events: played.get(name).events }
  },
  // die ends the connection as a page that is closed.
  die ({ name }) {
    played.get(name).client.end(true)
    return {}
  }
}
answer((command) => operations[command.op](command))
say({ ready: true })
