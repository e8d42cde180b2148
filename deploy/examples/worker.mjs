// The worker of the auction: it hears all bids, takes the higher ones, and says why it does not take others. It is a client
// of the gateway like any other, with a token of its own by client credentials (RFC 6749 section 4.4).
//
//   npm install mqtt
//   TOKEN_URL=… CLIENT_ID=… CLIENT_SECRET=… GATEWAY=wss://mqtt.example.com/mqtt node worker.mjs
import mqtt from 'mqtt'
import { connect } from '../browser/topicgate.js'

const { TOKEN_URL, CLIENT_ID, CLIENT_SECRET, GATEWAY } = process.env

async function token () {
  const answer = await fetch(TOKEN_URL, {
    method: 'POST',
    headers: { authorization: 'Basic ' + btoa(`${encodeURIComponent(CLIENT_ID)}:${encodeURIComponent(CLIENT_SECRET)}`) },
    body: new URLSearchParams({ grant_type: 'client_credentials' })
  })
  if (!answer.ok) throw new Error(`no token: HTTP ${answer.status}`)
  return (await answer.json()).access_token
}

const prices = new Map() // by auction
let waiting = [] // bids, until the prices from before a restart are known

const client = connect(mqtt, GATEWAY, {
  token,
  clientId: 'auction-worker', // one Session: bids wait while the worker is away
  clean: false,
  properties: { sessionExpiryInterval: 3600 },
  onStopped: (error) => {
    console.error(`stopped: ${error.message}`)
    process.exit(1)
  }
})

client.on('message', (topic, payload) => {
  const [, auction, kind, user] = topic.split('/')
  if (topic === MARK) begin()
  else if (kind === 'price') prices.set(auction, JSON.parse(payload.toString()).amount)
  else if (waiting) waiting.push([auction, user, payload])
  else judge(auction, user, payload)
})

// The prices are retained, so they come before what is published after the subscription: the mark.
const MARK = 'auction/worker/price'
client.subscribe('auction/+/price', { qos: 1 }, () => client.publish(MARK, 'all prices have come', { qos: 1 }))

function begin () {
  for (const bid of waiting ?? []) judge(...bid)
  waiting = null
  client.subscribe('auction/+/bid/+', { qos: 1 }, () => console.log('ready'))
}

function judge (auction, user, payload) {
  let amount
  try {
    amount = JSON.parse(payload.toString()).amount
  } catch {}
  const price = prices.get(auction) ?? 0
  if (!Number.isFinite(amount)) return reject('a bid is a number')
  if (amount <= price) return reject(`the price is ${price} already`)
  prices.set(auction, amount)
  client.publish(`auction/${auction}/price`, JSON.stringify({ amount, by: user }), { qos: 1, retain: true })

  function reject (reason) {
    client.publish(`auction/${auction}/rejected/${user}`, JSON.stringify({ amount, reason }), { qos: 1 })
  }
}
