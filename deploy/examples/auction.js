// The bidder's side of an auction; worker.mjs, or worker/main.go, is the other.
//
//   auction/<auction>/bid/<user>       {"amount": 12}
//   auction/<auction>/price            {"amount": 12, "by": "alice"}, retained
//   auction/<auction>/rejected/<user>  {"amount": 12, "reason": "…"}

export function start (client, me, tell) {
  client.on('message', (topic, payload) => {
    const [, auction, kind] = topic.split('/')
    if (kind === 'price' || kind === 'rejected') tell({ kind, auction, ...JSON.parse(payload.toString()) })
  })
  client.subscribe(['auction/+/price', `auction/+/rejected/${me}`], { qos: 1 })
  return {
    bid: (auction, amount) => client.publishAsync(`auction/${auction}/bid/${me}`, JSON.stringify({ amount }), { qos: 1 })
  }
}
