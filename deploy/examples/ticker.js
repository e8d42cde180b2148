// A news ticker: readers choose by wildcards, and get the last headline of each topic at once, since it is retained.
//
//   news/<desk>/<subject>  headlines

export function start (client, me, tell, { filter = 'news/#' } = {}) {
  client.on('message', (topic, payload) => {
    const [root, desk, ...subject] = topic.split('/')
    if (root === 'news') tell({ kind: 'headline', desk, subject: subject.join('/'), text: payload.toString() })
  })
  client.subscribe(filter, { qos: 0 })
  return {
    // print is for desks: who may not is told so.
    print: async (desk, subject, text) => {
      try {
        await client.publishAsync(`news/${desk}/${subject}`, text, { qos: 1, retain: true })
      } catch (error) {
        tell({ kind: 'refused', desk, code: error.code })
      }
    }
  }
}
