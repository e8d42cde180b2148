// Progress bars: how far a job is, is the retained message of its topic, so a page that is loaded anew shows it at once.
//
//   progress/<user>/<job>  0 to 100, retained; empty: the job is over

export function start (client, me, tell) {
  client.on('message', (topic, payload) => {
    const [root, user, job] = topic.split('/')
    if (root === 'progress' && user === me) tell(payload.length === 0 ? { kind: 'over', job } : { kind: 'progress', job, percent: Number(payload.toString()) })
  })
  client.subscribe(`progress/${me}/+`, { qos: 1 })
  return {
    // report and finish are for jobs.
    report: (user, job, percent) => client.publishAsync(`progress/${user}/${job}`, String(percent), { qos: 1, retain: true }),
    finish: (user, job) => client.publishAsync(`progress/${user}/${job}`, '', { qos: 1, retain: true })
  }
}
