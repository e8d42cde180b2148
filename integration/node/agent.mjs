// An MQTT.js client that does what a test tells it, the same in Node and in a page.
//
// Each command is an object with "op"; the answer is an object. Errors of the client are answers as well:
// { error: { message, code } }.

const plain = (error) => ({ error: { message: String(error?.message ?? error), code: error?.code } })

const properties = (packet) => {
  const user = []
  for (const [name, value] of Object.entries(packet.properties?.userProperties ?? {})) {
    for (const v of [value].flat()) user.push(`${name}=${v}`)
  }
  return user
}

export function newAgent (mqtt, connect) {
  const clients = new Map()

  // once waits for whichever of the events comes first.
  const once = (client, ...events) => new Promise((resolve) => {
    const listeners = events.map((event) => [event, (...args) => {
      for (const [e, l] of listeners) client.removeListener(e, l)
      resolve([event, ...args])
    }])
    for (const [event, listener] of listeners) client.on(event, listener)
  })

  const operations = {
    // connect answers { connack } or { error }.
    async connect ({ name, url, options }) {
      const client = mqtt.connect(url, { reconnectPeriod: 0, connectTimeout: 30000, ...options })
      const state = { client, messages: [], waiting: [], closed: once(client, 'close'), disconnect: null }
      clients.set(name, state)
      client.on('error', () => {}) // told by once below; without a listener Node would end
      client.on('disconnect', (packet) => { state.disconnect = packet })
      client.on('message', (topic, payload, packet) => {
        const m = { topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain, userProperties: properties(packet) }
        const next = state.waiting.shift()
        if (next) next(m)
        else state.messages.push(m)
      })
      const [event, value] = await once(client, 'connect', 'error', 'close')
      if (event === 'connect') return { connack: { code: value.reasonCode ?? value.returnCode, sessionPresent: value.sessionPresent, properties: value.properties ?? {} } }
      return event === 'error' ? plain(value) : plain('closed')
    },
    // subscribe answers the codes of the SUBACK, whatever MQTT.js thinks of them.
    subscribe ({ name, filters, options }) {
      return new Promise((resolve) => {
        clients.get(name).client.subscribe(filters, options ?? { qos: 1 }, (error, granted, packet) => {
          resolve(packet?.granted ? { granted: packet.granted } : plain(error ?? 'no SUBACK'))
        })
      })
    },
    async publish ({ name, topic, payload, options }) {
      try {
        await clients.get(name).client.publishAsync(topic, payload, options ?? { qos: 1 })
        return {}
      } catch (error) {
        return plain(error)
      }
    },
    // next answers the next message, when it comes.
    async next ({ name }) {
      const state = clients.get(name)
      if (state.messages.length > 0) return state.messages.shift()
      return new Promise((resolve) => state.waiting.push(resolve))
    },
    // closed waits until the connection is closed and answers the DISCONNECT that came before, if one did.
    async closed ({ name }) {
      const state = clients.get(name)
      await state.closed
      return { disconnect: state.disconnect && { code: state.disconnect.reasonCode } }
    },
    // stay connects as an application does, with the library's own defaults, and leaves all else to the library.
    stay ({ name, url, options, filters }) {
      const client = mqtt.connect(url, options)
      const state = { client, heard: new Set(), connects: 0, errors: [] }
      clients.set(name, state)
      client.on('connect', () => { state.connects++ })
      client.on('error', (error) => { state.errors.push(error.code ?? 0) })
      client.on('message', (topic, payload) => { state.heard.add(payload.toString()) })
      client.subscribe(filters, { qos: 1 })
      return {}
    },
    // gate is stay by the gateway's own module, which gets its tokens from a page.
    gate ({ name, url, options, filters, tokens }) {
      const state = { heard: new Set(), connects: 0, errors: [], rejected: [], stopped: null }
      const client = connect(mqtt, url, {
        ...options,
        token: async ({ fresh }) => (await fetch(`${tokens}?fresh=${fresh}`)).text(),
        onRejected: (rejected) => { state.rejected.push(rejected.topic) },
        onStopped: (error) => { state.stopped = { message: error.message, code: error.code } }
      })
      Object.assign(state, { client })
      clients.set(name, state)
      client.on('connect', () => { state.connects++ })
      client.on('message', (topic, payload) => { state.heard.add(payload.toString()) })
      client.subscribe(filters, { qos: 1 })
      return {}
    },
    // gated answers what the module has told.
    gated ({ name }) {
      const { client, connects, rejected, stopped } = clients.get(name)
      return { connected: client.connected, connects, rejected, stopped }
    },
    // state answers how a client that stays is, and whether it has heard a payload.
    state ({ name, payload }) {
      const { client, heard, connects, errors } = clients.get(name)
      return { connected: client.connected, heard: heard.has(payload), connects, errors }
    },
    async end ({ name, force }) {
      await clients.get(name).client.endAsync(force ?? false)
      return {}
    }
  }
  return (command) => operations[command.op](command)
}
