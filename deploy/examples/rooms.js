// Rooms. The page subscribes once; the gateway has it hear the rooms that its user is in, and says when they change.
//
//   room/<room>/messages/<from>  messages

export function start (client, me, tell) {
  client.on('message', (topic, payload) => {
    if (topic === '$topicgate/access') { // what the subscription covers now
      const { covers } = JSON.parse(payload.toString())
      tell({ kind: 'rooms', rooms: covers.map((filter) => filter.split('/')[1]).sort() })
      return
    }
    const [root, room, , from] = topic.split('/')
    if (root === 'room') tell({ kind: 'message', room, from, text: payload.toString() })
  })
  client.subscribe(['$topicgate/access', 'room/+/messages/+'], { qos: 1 })
  return {
    send: (room, text) => client.publishAsync(`room/${room}/messages/${me}`, text, { qos: 1 })
  }
}
