// The page: sign in, connect, talk.

import { connect, reason } from './chat.js'
import { avatar, byId, clock, h } from './dom.js'
import { login, logout, renew, resume } from './oidc.js'
import { openPanel } from './panel.js'

const KEPT = 200 // messages shown in a conversation
const RENEW_AT = 0.7 // of a token's life
const ROOMS = 'chat/room/+/#' // one subscription for every room; the gateway keeps it to those that the user is in
const TEMPORARY = [0x88, 0x89, 0x8b] // CONNACK codes after which trying again is right

const config = await (await fetch('/config.json')).json()
const conversations = new Map() // by key: {kind, name, messages, unread}
const present = new Set()
let session, chat, open, renewal
let rooms = [] // names, as the back end and the gateway tell them
let covers = null // what of ROOMS may be read now, as the gateway says; null: it has not said yet
let state = 'connecting'
let wasBlocked = false

// --- what is known ---------------------------------------------------------------------------------

const moderator = () => session.roles.includes('moderator')
const mayEnter = (name) => covers === null || covers.some((filter) => filter === ROOMS || filter === 'chat/room/' + name + '/#')
const topicOf = ({ kind, name }) => kind === 'room' ? 'chat/room/' + name + '/messages' : kind === 'user' ? 'chat/messages/' + name + '/' + session.user : ''

function conversation(kind, name) {
  const key = kind + ':' + name
  if (!conversations.has(key)) conversations.set(key, { kind, name, messages: [], unread: 0 })
  return conversations.get(key)
}

function add(to, message) {
  const last = to.messages.at(-1)
  if (message.note && last?.note === message.note && last.text === message.text) return // said already
  const entry = { at: new Date(), ...message }
  to.messages.push(entry)
  if (to.messages.length > KEPT) to.messages.shift()
  if (to === open) drawMessages()
  else if (!message.note) { to.unread++; drawLists() }
  return entry
}

// --- what happens ----------------------------------------------------------------------------------

const handlers = {
  state(next, detail) {
    state = next
    notice(next === 'online' ? '' : detail ?? '', next === 'refused')
    if (next !== 'online') present.clear()
    drawLists()
  },
  online() {
    chat.subscribe(moderator() ? 'chat/messages/+/+' : 'chat/messages/' + session.user + '/+')
    chat.subscribe(ROOMS)
  },
  async refused(code) {
    if (TEMPORARY.includes(code)) setTimeout(() => chat?.retry(), 2000)
    else if (Date.now() >= session.expires) { // the tab slept longer than its token
      await renewNow()
      chat?.retry()
    }
  },
  presence(user, online) {
    if (online) present.add(user)
    else present.delete(user)
    drawLists()
  },
  subscribed(filter, code) {
    if (code >= 0x80) add(open, { note: 'refused', text: 'SUBSCRIBE ' + filter + ': SUBACK ' + reason(code) })
  },
  // Nobody here asked for it: a back end changed a set, and the one subscription covers more or less.
  access(filter, now) {
    if (filter !== ROOMS) return
    const before = covers && new Set(rooms.filter(mayEnter))
    covers = now
    know(now.map((covered) => covered.split('/')[2]).filter((name) => name !== '+'))
    if (before) {
      for (const name of rooms) {
        if (mayEnter(name) && !before.has(name)) add(conversation('room', name), { note: 'info', text: 'You are in ' + name + ' now.' })
        if (!mayEnter(name) && before.has(name)) add(conversation('room', name), { note: 'info', text: 'You were taken out of ' + name + '. The connection stays; the room is silent.' })
      }
    }
    drawLists()
    drawTitle()
  },
  message(message) {
    const to = message.room ? conversation('room', message.room) : message.to ? conversation('along', 'all direct messages') : conversation('user', message.with)
    add(to, message)
  },
}

/** know adds names to the list of rooms. */
function know(names) {
  rooms = [...new Set([...rooms, ...names])].sort()
}

function lookedAtBackEnd(back) {
  know(back.rooms.map(({ name }) => name))
  if (state === 'refused' && wasBlocked && !back.blocked.includes(session.user)) chat.retry()
  wasBlocked = back.blocked.includes(session.user)
  drawLists()
  drawTitle()
}

async function send(text, claim) {
  const to = open
  const topic = topicOf(to)
  // A room's message comes back by the subscription, as everybody sees it; a direct one does not.
  const echo = to.kind === 'user' ? add(to, { from: session.user, text, mine: true, waiting: true }) : null
  const code = await chat.send(topic, text, claim)
  if (echo) {
    echo.waiting = false
    echo.refused = code
    if (to === open) drawMessages()
  } else if (code) add(to, { from: session.user, text, mine: true, refused: code })
}

async function renewNow() {
  try {
    session = await renew(config, session)
  } catch (error) {
    notice('Your sign-in could not be renewed. ' + error.message, true)
    return
  }
  const code = await chat.renewed(session)
  if (code) console.warn('the gateway did not take the fresh token now (%s); the next connection brings it', reason(code))
  planRenewal()
}

function planRenewal() {
  clearTimeout(renewal)
  renewal = setTimeout(renewNow, Math.max(1000, (session.expires - Date.now()) * RENEW_AT))
}

// --- what is shown ---------------------------------------------------------------------------------

const STATES = { online: 'connected', connecting: 'connecting…', offline: 'offline', refused: 'refused' }

function notice(text, retry) {
  byId('notice').hidden = !text
  byId('notice-text').textContent = text
  byId('retry').hidden = !retry
}

function drawLists() {
  const item = (to, mark, after) => h('li', {}, h('button', { class: 'entry', 'aria-current': to === open ? 'true' : null, onclick: () => select(to) },
    mark, h('span', { class: 'grow' }, to.name), to.unread ? h('span', { class: 'count' }, String(to.unread)) : after))
  byId('rooms').replaceChildren(...rooms.map((name) =>
    item(conversation('room', name), h('span', { class: 'hash' }, '#'), mayEnter(name) ? null : h('span', { class: 'lock', title: 'You are not in this room' }, 'no entry'))))
  byId('people').replaceChildren(...config.users.filter((user) => user !== session.user).map((user) =>
    item(conversation('user', user), h('span', { class: 'portrait' }, avatar(user), h('span', { class: present.has(user) ? 'dot on' : 'dot' })),
      h('small', { class: 'muted' }, present.has(user) ? 'online' : ''))))
  if (moderator()) byId('people').append(item(conversation('along', 'all direct messages'), h('span', { class: 'hash' }, '*')))
  byId('my-state').textContent = STATES[state]
  byId('my-state').dataset.state = state
  byId('compose').querySelector('button').disabled = state !== 'online'
}

function drawTitle() {
  const { kind, name } = open
  byId('title').textContent = (kind === 'room' ? '# ' : '') + name
  byId('topic').textContent = kind === 'along' ? 'chat/messages/+/+' : topicOf(open)
  const allowed = kind !== 'room' || mayEnter(name)
  byId('badge').textContent = kind === 'along' ? 'reading along' : kind === 'user' ? 'direct' : allowed ? 'member' : 'not a member'
  byId('badge').classList.toggle('bad', !allowed)
  byId('compose').hidden = kind === 'along'
  byId('text').placeholder = allowed ? 'Message ' + name : 'You are not in ' + name + '. Try to post anyway.'
}

function drawMessages() {
  const list = byId('messages')
  list.replaceChildren(...open.messages.map((message) => {
    if (message.note) return h('li', { class: 'note ' + message.note }, message.text)
    const { from, claims } = message
    return h('li', { class: 'message' + (message.mine ? ' mine' : '') + (message.refused ? ' refused' : '') },
      avatar(from ?? '?'),
      h('div', { class: 'bubble' },
        h('header', {}, h('b', {}, from ?? 'nobody', message.to ? ' → ' + message.to : ''), from ? null : h('em', {}, 'no verified sender'),
          claims && claims !== from ? h('em', {}, 'the payload claims: ' + claims) : null,
          h('time', {}, message.waiting ? '…' : clock(message.at))),
        h('p', {}, message.text),
        message.refused ? h('footer', {}, 'PUBLISH ' + topicOf(open) + ': PUBACK ' + reason(message.refused)) : null))
  }))
  if (open.messages.length === 0) list.append(h('li', { class: 'note info' }, 'Nothing here yet.'))
  list.scrollTop = list.scrollHeight
}

function select(to) {
  open = to
  to.unread = 0
  drawLists()
  drawTitle()
  drawMessages()
  byId('text').focus()
}

// --- begin -----------------------------------------------------------------------------------------

function showDoor(error) {
  byId('door').hidden = false
  byId('door-error').hidden = !error
  byId('door-error').textContent = error ?? ''
}

function showChat() {
  document.body.className = ''
  document.title = session.user + ' · topicgate demo'
  byId('app').hidden = false
  byId('my-avatar').textContent = session.user.slice(0, 1)
  byId('my-avatar').dataset.user = session.user
  byId('my-name').textContent = session.user
  byId('forge-name').textContent = config.users.find((user) => user !== session.user)
  open = conversation('room', 'lobby')
  chat = connect(config, session, handlers)
  select(open)
  planRenewal()
  openPanel(config, session.user, lookedAtBackEnd)
}

byId('login').addEventListener('click', () => login(config).catch((error) => showDoor(error.message)))
byId('logout').addEventListener('click', async () => {
  logout()
  await chat.end()
  location.reload()
})
byId('retry').addEventListener('click', () => chat.retry())
byId('compose').addEventListener('submit', (event) => {
  event.preventDefault()
  const text = byId('text').value.trim()
  if (text && chat.online) send(text, byId('forge').checked ? byId('forge-name').textContent : null)
  byId('text').value = ''
})

try {
  session = await resume(config)
  if (session && session.expires - Date.now() < 5000) session = await renew(config, session)
  if (session) showChat()
  else showDoor()
} catch (error) {
  logout()
  showDoor(error.message)
}
