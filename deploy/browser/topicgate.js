// What a page does for topicgate beside MQTT.js, which does the rest: a token at each connection, a fresh one before the
// old one ends, and an end where trying again is no use. No dependency; MQTT.js 5 is handed in.
//
//   const client = connect(mqtt, 'wss://mqtt.example.com/mqtt', { token: () => session.accessToken() })
//
// What it answers is MQTT.js' own client.

const EXPIRING = '$topicgate/expiring' // the gateway says: a minute is left
const REJECTED = '$topicgate/rejected' // the gateway says why it refused something
const TOKEN = '$topicgate/token' // a fresh token goes here

const NOT_AUTHORIZED = [4, 5, 0x86, 0x87] // CONNACK: it is the token; in 3.1.1 and in 5.0
const FIRST_PAUSE = 1000
const LONGEST_PAUSE = 30000

export function connect (mqtt, url, { token, onRejected = () => {}, onStopped = () => {}, ...options }) {
  const client = mqtt.connect(url, {
    username: 'token', // MQTT.js sends no password without one; the gateway believes the token alone
    protocolVersion: 5,
    ...options,
    manualConnect: true, // once there is a token
    reconnectPeriod: 0 // likewise
  })
  let ended = false // by the page, or for good
  let began = false
  let pause = FIRST_PAUSE
  let refusal = null // the CONNACK that this connection was refused with
  let retried = false // with a fresh token, after one was refused
  let timer

  const open = async (fresh) => {
    let text
    try {
      text = await token({ fresh })
    } catch {
      later(fresh) // the provider may be away
      return
    }
    if (ended) return
    if (!text) return stop(new Error('no token'))
    client.options.password = text
    if (began) client.reconnect()
    else client.connect()
    began = true
  }

  const later = (fresh) => {
    if (ended) return
    timer = setTimeout(open, pause * (0.5 + Math.random()), fresh)
    pause = Math.min(2 * pause, LONGEST_PAUSE)
  }

  const stop = (error) => {
    ended = true
    onStopped(error)
  }

  const renew = async () => {
    try {
      client.publish(TOKEN, await token({ fresh: true }), { qos: 1 }, () => {}) // not taken: the old one goes on until its end
    } catch {} // the end of the token brings it up again
  }

  client.on('connect', () => {
    pause = FIRST_PAUSE
    retried = false
  })
  client.on('error', (error) => {
    if (typeof error.code === 'number' && !client.connected) refusal = error
  })
  client.on('close', () => {
    const error = refusal
    refusal = null
    if (ended) return
    if (!error) return later(false)
    if (!NOT_AUTHORIZED.includes(error.code) || retried) return stop(error)
    retried = true
    later(true)
  })
  client.on('message', (topic, payload) => {
    if (topic === EXPIRING) renew()
    if (topic === REJECTED) onRejected(JSON.parse(payload.toString()))
  })
  client.subscribe([EXPIRING, REJECTED]) // MQTT.js keeps it until it is connected, and asks again after each reconnect

  const end = client.end.bind(client)
  client.end = (...args) => {
    ended = true
    clearTimeout(timer)
    return end(...args)
  }
  open(false)
  return client
}
