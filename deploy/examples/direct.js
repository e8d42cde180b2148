// One-to-one chat. A message waits at the broker for who is away; who is there everybody sees.
//
//   chat/to/<whom>/<from>  messages
//   chat/status/<user>     "here" or "gone", retained; "gone" is said by the Will, too

// options are those of the connection: a Session that outlives it by a week, of a client that is the same each time.
export function options (me, clientId) {
  return {
    clientId,
    clean: false,
    properties: { sessionExpiryInterval: 7 * 24 * 3600 },
    will: { topic: `chat/status/${me}`, payload: 'gone', qos: 1, retain: true }
  }
}

export function start (client, me, tell) {
  client.on('connect', () => { // who is here hears what is sent to them
    client.subscribe([`chat/to/${me}/+`, 'chat/status/+'], { qos: 1 },
      () => client.publish(`chat/status/${me}`, 'here', { qos: 1, retain: true }))
  })
  client.on('message', (topic, payload) => {
    const [, kind, who, from] = topic.split('/')
    if (kind === 'to') tell({ kind: 'message', from, text: payload.toString() })
    if (kind === 'status') tell({ kind: 'status', who, status: payload.toString() })
  })
  return {
    send: (whom, text) => client.publishAsync(`chat/to/${whom}/${me}`, text, { qos: 1 }),
    leave: async () => {
      await client.publishAsync(`chat/status/${me}`, 'gone', { qos: 1, retain: true })
      await client.endAsync() // DISCONNECT: the broker drops the Will
    }
  }
}
