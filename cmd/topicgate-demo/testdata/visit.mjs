// A visitor of the demo in a headless Chromium: alice and bob, a tab each.
// Arguments: JSON { page, executable, playwright }. It fails at the first thing that a visitor would not see.
import { createRequire } from 'node:module'

const { page: address, executable, playwright } = JSON.parse(process.argv[2])
const { chromium } = createRequire(playwright)('playwright-core')

const browser = await chromium.launch({
  executablePath: executable,
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--disable-background-networking', '--no-first-run'],
})
const step = (text) => console.log(text)

/** signIn opens a tab of its own, as sessionStorage makes it another user's, and goes through the provider. */
async function signIn (name) {
  step(name + ' signs in')
  const tab = await (await browser.newContext()).newPage()
  tab.setDefaultTimeout(30000)
  tab.on('pageerror', (error) => { throw error })
  await tab.goto(address)
  await tab.click('#login')
  await tab.click('button.who[value=' + name + ']')
  await tab.waitForSelector('#my-state[data-state=online]')
  await tab.waitForSelector('#badge:text-is("member")')
  return tab
}
const enter = async (tab, room) => {
  await tab.click('#rooms button:has(span.grow:text-is("' + room + '"))')
  await tab.waitForSelector('#title:text-is("# ' + room + '")')
}
const post = async (tab, text) => {
  await tab.fill('#text', text)
  await tab.press('#text', 'Enter')
}
const sees = (tab, text, kind = '') => tab.waitForSelector('#messages .message' + kind + ':has-text("' + text + '")')
const notes = (tab, text) => tab.waitForSelector('#messages .note:has-text("' + text + '")')

try {
  const alice = await signIn('alice')
  const bob = await signIn('bob')

  step('alice posts in the lobby, and bob reads it under her verified name')
  await post(alice, 'good morning')
  await sees(alice, 'good morning', '.mine:not(.refused)')
  await sees(bob, 'good morning', ':has(b:text-is("alice"))')

  step('the studio is not hers: what she posts is refused, and bob, who is in it, does not see it')
  await enter(alice, 'studio')
  await alice.waitForSelector('#badge:text-is("not a member")')
  await post(alice, 'let me in')
  await sees(alice, 'let me in', '.refused:has(footer:has-text("0x87"))')
  await alice.waitForSelector('#refused li:has-text("chat/room/studio/messages")')
  await enter(bob, 'studio')
  await post(bob, 'nobody else here?')
  await sees(bob, 'nobody else here?', '.mine')

  step('her back end lets her in, and the room comes alive on the connection that she has')
  await alice.click('#grid button[aria-label="alice is not in studio"]')
  await notes(alice, 'You are in studio now.')
  await alice.waitForSelector('#command:has-text("SADD topicgate:user:alice:rooms studio")')
  await post(bob, 'welcome')
  await sees(alice, 'welcome', ':has(b:text-is("bob"))')
  await post(alice, 'thank you')
  await sees(bob, 'thank you', ':has(b:text-is("alice"))')
  const first = await bob.locator('#messages .message').first().innerText()
  if (!first.includes('nobody else here?')) throw new Error('bob first read in the studio: ' + first)

  step('a forged sender: bob sees who it was')
  await alice.check('#forge')
  await post(alice, 'I am bob')
  await sees(bob, 'I am bob', ':has(b:text-is("alice")):has(em:text-is("the payload claims: bob"))')
  await alice.uncheck('#forge')

  step('she is taken out again: the room falls silent, the connection stays')
  await alice.click('#grid button[aria-label="alice is in studio"]')
  await notes(alice, 'You were taken out of studio.')
  await post(bob, 'is she gone?')
  await sees(bob, 'is she gone?', '.mine')
  await enter(bob, 'lobby')
  await post(bob, 'back in the lobby')
  await enter(alice, 'lobby')
  await sees(alice, 'back in the lobby')
  await enter(alice, 'studio')
  if (await alice.locator('#messages .message:has-text("is she gone?")').count() !== 0) throw new Error('alice read on in the studio')
  if (!await alice.locator('#my-state[data-state=online]').count()) throw new Error('alice is not online')

  step('bob is blocked, and let back in')
  await alice.click('#grid button[aria-label="bob is not blocked"]')
  await bob.waitForSelector('#my-state[data-state=refused]')
  await alice.click('#grid button[aria-label="bob is blocked"]')
  await bob.waitForSelector('#my-state[data-state=online]')

  step('trouble on purpose: whatever is killed, both are back by themselves')
  for (const what of ['broker', 'gateway']) {
    await alice.click('[data-trouble=' + what + ']')
    await bob.waitForSelector('#my-state:not([data-state=online])')
    for (const tab of [alice, bob]) await tab.waitForSelector('#my-state[data-state=online]')
    await enter(alice, 'lobby')
    await enter(bob, 'lobby')
    await post(bob, 'still here after the ' + what)
    await sees(alice, 'still here after the ' + what)
  }
} finally {
  await browser.close()
}
