// A headless Chromium, driven by a test: most commands go to the agent in the page.
// Arguments: JSON { executable, args }.
import { chromium } from 'playwright-core'
import { answer, say } from './lines.mjs'

const { executable, args } = JSON.parse(process.argv[2])
const browser = await chromium.launch({ executablePath: executable, args, headless: true, handleSIGTERM: false })
process.on('SIGTERM', async () => {
  await browser.close()
  process.exit(0)
})
const context = await browser.newContext()
// Only this machine: the provider's development pages ask for a font from elsewhere.
await context.route((url) => url.hostname !== '127.0.0.1' && url.hostname !== 'localhost', (route) => route.abort())
const page = await context.newPage()
page.setDefaultTimeout(30000)

const operations = {
  // open loads a page and waits for its agent.
  async open ({ url }) {
    await page.goto(url)
    await page.waitForFunction(() => window.agent !== undefined)
    return { url: page.url() }
  },
  // login goes through the provider's pages as a person does and ends on the page it started from.
  async login ({ username, back }) {
    await page.click('#login')
    await page.waitForSelector('input[name=login]')
    await page.fill('input[name=login]', username)
    await page.fill('input[name=password]', 'any password')
    await page.click('button[type=submit]')
    await page.waitForSelector('input[name=prompt][value=consent]', { state: 'attached' })
    await page.click('button[type=submit]')
    await page.waitForURL((url) => url.href.startsWith(back))
    await page.waitForFunction(() => window.agent !== undefined && window.accessToken !== undefined)
    return { token: await page.evaluate(() => window.accessToken) }
  },
  async cookie ({ cookie }) {
    await context.addCookies([cookie])
    return {}
  }
}

answer((command) => operations[command.op]?.(command) ?? page.evaluate((c) => window.agent(c), command))
say({ ready: true })
