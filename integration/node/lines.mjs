// Commands come as lines of JSON with an "id" on standard input; answers go out as lines with the same id.
// The end of the input ends the program, so that it never outlives its test.
import { createInterface } from 'node:readline'

export function answer (handle) {
  const input = createInterface({ input: process.stdin })
  input.on('line', async (line) => {
    const command = JSON.parse(line)
    let result
    try {
      result = await handle(command)
    } catch (error) {
      result = { failed: String(error?.stack ?? error) }
    }
    say({ id: command.id, ...result })
  })
  input.on('close', () => process.exit(0))
}

export const say = (object) => process.stdout.write(JSON.stringify(object) + '\n')
