// The panel of the application's back end: membership as it stands in Redis, and what the gateway refused.

import { avatar, byId, clock, h } from './dom.js'

// What there is to be seen of a trouble.
const WATCH = {
  broker: 'The connection is lost, and back as soon as the broker is: the gateway holds who comes meanwhile.',
  gateway: 'The connection is lost, and back once the gateway is.',
  redis: 'Nothing changes for who is connected. Redis comes back empty, and the back end fills in the first members.',
}

const EVERY = 1000 // ms between two looks; a change made here is looked at straight away

/** openPanel shows the panel and calls changed(state) whenever it has looked. */
export function openPanel(config, me, changed) {
  const state = { rooms: [], blocked: [], refused: [] }
  const people = config.users.filter((user) => user !== 'admin') // a moderator is in every room anyway
  let drawn = ''
  let timer

  const look = async () => {
    clearTimeout(timer)
    try {
      const answer = await fetch('/backend/state')
      if (answer.ok) Object.assign(state, await answer.json())
    } catch { /* the demo was stopped: the chat's own state says so */ }
    const seen = JSON.stringify(state)
    if (seen !== drawn) draw()
    drawn = seen
    changed(state)
    timer = setTimeout(look, EVERY)
  }

  const change = async (path, wanted) => {
    const answer = await fetch('/backend/' + path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(wanted),
    })
    const done = answer.ok ? (await answer.json()).command : await answer.text()
    show(answer.ok && !done.startsWith('#') ? config.redis_cli + ' ' + done : done)
    await look()
  }

  const show = (text) => { byId('command').textContent = text }

  const toggle = (label, on, act) => h('button', {
    class: 'switch', role: 'switch', 'aria-checked': String(on), 'aria-label': label, title: label, 'data-key': label, onclick: act,
  })

  const draw = () => {
    const focused = document.activeElement?.dataset?.key
    const head = h('tr', {}, h('th'), ...people.map((user) => h('th', { scope: 'col' }, avatar(user), h('small', {}, user))))
    const rows = state.rooms.map(({ name, members }) => h('tr', {}, h('th', { scope: 'row' }, name), ...people.map((user) => {
      const on = members.includes(user)
      return h('td', {}, toggle(user + (on ? ' is in ' : ' is not in ') + name, on, () => change('member', { user, room: name, on: !on })))
    })))
    const blocked = h('tr', { class: 'blocked' }, h('th', { scope: 'row' }, 'blocked'), ...people.map((user) => {
      const on = state.blocked.includes(user)
      return h('td', {}, toggle(user + (on ? ' is blocked' : ' is not blocked'), on, () => change('blocked', { user, on: !on })))
    }))
    byId('grid').replaceChildren(h('thead', {}, head), h('tbody', {}, ...rows, blocked))
    if (focused) byId('grid').querySelector('[data-key="' + CSS.escape(focused) + '"]')?.focus()
    byId('refused').replaceChildren(...(state.refused.length ? state.refused.map(record) : [h('li', { class: 'muted' }, 'Nothing yet. Try a room that you are not in.')]))
  }

  const record = (entry) => h('li', {},
    h('span', {}, h('time', {}, clock(new Date(entry.time))), ' ', h('b', {}, entry.user || 'nobody'), ' ', entry.action, Number(entry.count) > 1 ? ' ×' + entry.count : ''),
    entry.topic ? h('code', {}, entry.topic) : null,
    h('small', {}, entry.rule || (entry.reason === 'policy' ? 'no rule allows it' : entry.reason)))

  byId('new-room').addEventListener('submit', async (event) => {
    event.preventDefault()
    await change('member', { user: me, room: byId('new-room-name').value, on: true })
    event.target.reset()
  })
  for (const button of document.querySelectorAll('[data-trouble]')) {
    button.addEventListener('click', async () => {
      byId('watch').textContent = WATCH[button.dataset.trouble]
      await change('trouble', { what: button.dataset.trouble })
    })
  }
  show(config.redis_cli + ' SADD topicgate:user:bob:rooms garden')
  look()
}
