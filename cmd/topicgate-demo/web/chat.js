// The chat's MQTT side: one MQTT 5 connection through the gateway, by MQTT.js.

/* global mqtt */

const STAMP = 'topicgate-user' // the User Property in which the gateway says who published

const NAMES = {
  0x80: 'Unspecified error', 0x87: 'Not authorized', 0x88: 'Server unavailable', 0x8a: 'Banned', 0x8b: 'Server shutting down',
  0x8e: 'Session taken over', 0x90: 'Topic Name invalid', 0x97: 'Quota exceeded', 0x98: 'Administrative action', 0x99: 'Payload format invalid',
}

/** reason writes an MQTT Reason Code for people. */
export const reason = (code) => '0x' + code.toString(16).padStart(2, '0') + (NAMES[code] ? ' ' + NAMES[code] : '')

/**
 * connect opens the connection of a session. The handlers:
 * state(state, detail)  connecting, online, offline (trying again), refused (not trying again)
 * online()              once connected, refused(code) once not
 * presence(user, online)
 * message({room | with, from, text, claims, mine})
 * access(filter, covers)  what a subscription covers now, at first and whenever that changes
 * subscribed(filter, code)
 */
export function connect(config, session, handlers) {
  const me = session.user
  let current = session
  let ended = false
  let goodbye = '' // what the gateway said last
  let refused = false

  const client = mqtt.connect(config.gateway, {
    protocolVersion: 5,
    clientId: 'page-' + crypto.randomUUID().slice(0, 8),
    clean: true,
    resubscribe: false, // done below, as the user's roles may have changed
    keepalive: 30,
    reconnectPeriod: 1000,
    username: me, // for the eye: the gateway believes the token alone
    password: session.token,
    will: { topic: 'chat/status/' + me, payload: 'offline', qos: 1, retain: true },
  })

  const say = (word) => client.publish('chat/status/' + me, word, { qos: 1, retain: true })

  // Each filter alone, so that the answer to one says nothing about another.
  const subscribe = (filter) => {
    client.subscribe(filter, { qos: 1 }, (error, _, packet) => {
      if (packet) handlers.subscribed(filter, packet.granted[0])
    })
  }

  client.on('connect', () => {
    goodbye = ''
    handlers.state('online')
    say('online')
    subscribe('$topicgate/access') // first, to hear of the others
    subscribe('chat/status/+')
    handlers.online()
  })
  client.on('reconnect', () => {
    refused = false
    handlers.state('connecting', goodbye)
  })
  client.on('disconnect', (packet) => {
    goodbye = 'The gateway closed the connection: ' + reason(packet.reasonCode) + '.'
    handlers.state('offline', goodbye)
  })
  client.on('close', () => {
    client.options.password = current.token // the next attempt comes with the latest token
    if (!ended && !refused) handlers.state('offline', goodbye || 'Connection lost, trying again.')
  })
  client.on('error', (error) => {
    if (!(error.code >= 0x80)) return // 'close' follows
    // A CONNACK that refuses. MQTT.js does not try again: somebody must decide something first.
    refused = true
    goodbye = 'The gateway refused the connection: CONNACK ' + reason(error.code) + '.'
    handlers.state('refused', goodbye)
    handlers.refused(error.code)
  })

  client.on('message', (topic, bytes, packet) => {
    if (topic === '$topicgate/access') { // from the gateway itself
      const { filter, covers } = JSON.parse(bytes.toString())
      handlers.access(filter, covers)
      return
    }
    const from = packet.properties?.userProperties?.[STAMP]
    const [, kind, where, who] = topic.split('/')
    if (kind === 'status') {
      const online = bytes.toString() === 'online'
      if (where === me && !online && !ended) say('online') // another tab of this user went; this one is here
      handlers.presence(where, online)
      return
    }
    let body
    try { body = JSON.parse(bytes.toString()) } catch { body = { text: bytes.toString() } }
    if (typeof body?.text !== 'string') body = { text: String(bytes) }
    const message = { from, text: body.text, claims: typeof body.from === 'string' ? body.from : undefined }
    if (kind === 'room') handlers.message({ ...message, room: where, mine: from === me })
    else if (where === me) handlers.message({ ...message, with: from ?? who })
    else handlers.message({ ...message, with: who, to: where }) // admin reads along
  })

  return {
    subscribe,
    get online() { return client.connected },
    /** send publishes a message; claim is who the payload and a forged User Property pretend to be. */
    send(topic, text, claim) {
      const properties = claim ? { userProperties: { [STAMP]: claim } } : {}
      const payload = JSON.stringify(claim ? { text, from: claim } : { text })
      return new Promise((resolve) => client.publish(topic, payload, { qos: 1, properties }, (error) => resolve(error ? error.code ?? 0x80 : 0)))
    },
    /** renewed hands a fresh token to the running session, and to the next. */
    renewed(next) {
      current = next
      client.options.password = next.token
      return new Promise((resolve) => client.publish('$topicgate/token', next.token, { qos: 1 }, (error) => resolve(error ? error.code ?? 0x80 : 0)))
    },
    retry() { client.reconnect() },
    /** end leaves politely; the Will stays unsaid. */
    end() {
      ended = true
      if (!client.connected) return client.endAsync(true)
      return new Promise((resolve) => client.publish('chat/status/' + me, 'offline', { qos: 1, retain: true }, () => client.end(false, {}, resolve)))
    },
  }
}
