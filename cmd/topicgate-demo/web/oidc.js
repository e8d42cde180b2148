// OpenID Connect for one public client: Authorization Code with PKCE (RFC 7636, S256) and refresh tokens.

const LOGIN = 'topicgate-demo.login' // what a login must bring back; sessionStorage, so each tab is its own user
const SESSION = 'topicgate-demo.session'

const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)))
const sha256 = async (text) => base64url(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))))

async function discover(config) {
  const answer = await fetch(config.issuer + '/.well-known/openid-configuration')
  const provider = await answer.json()
  if (provider.issuer !== config.issuer) throw new Error('The provider names another issuer than ' + config.issuer)
  return provider
}

/** login sends the browser to the provider. */
export async function login(config) {
  const { authorization_endpoint: endpoint } = await discover(config)
  const pending = { verifier: random(), state: random(), nonce: random() }
  sessionStorage.setItem(LOGIN, JSON.stringify(pending))
  location.assign(endpoint + '?' + new URLSearchParams({
    response_type: 'code',
    client_id: config.client_id,
    redirect_uri: config.redirect_uri,
    scope: 'openid',
    state: pending.state,
    nonce: pending.nonce,
    code_challenge: await sha256(pending.verifier),
    code_challenge_method: 'S256',
  }))
}

/** resume returns the session that the provider sends back, or the tab's old one, or null. */
export async function resume(config) {
  const answer = new URLSearchParams(location.search)
  if (!answer.has('state')) return JSON.parse(sessionStorage.getItem(SESSION))
  const pending = JSON.parse(sessionStorage.getItem(LOGIN))
  sessionStorage.removeItem(LOGIN)
  history.replaceState(null, '', location.pathname) // the code is used once, and not by a reload
  if (answer.get('state') !== pending?.state || answer.get('iss') !== config.issuer) throw new Error('That answer is not to a login of this tab.')
  if (answer.has('error')) throw new Error('The provider says: ' + answer.get('error'))
  return tokens(config, {
    grant_type: 'authorization_code',
    code: answer.get('code'),
    redirect_uri: config.redirect_uri,
    code_verifier: pending.verifier,
  }, pending.nonce)
}

/** renew trades the refresh token for fresh ones. */
export const renew = (config, session) => tokens(config, { grant_type: 'refresh_token', refresh_token: session.refresh })

export const logout = () => sessionStorage.removeItem(SESSION)

async function tokens(config, grant, nonce) {
  const { token_endpoint: endpoint } = await discover(config)
  const response = await fetch(endpoint, { method: 'POST', body: new URLSearchParams({ client_id: config.client_id, ...grant }) })
  const answer = await response.json()
  if (!response.ok) throw new Error('The provider says: ' + answer.error)
  // Straight from the token endpoint, the ID Token needs no check of its signature (OpenID Connect Core 3.1.3.7).
  // The gateway, which believes nobody, checks the access token's.
  const claims = payload(answer.id_token)
  if (claims.iss !== config.issuer || claims.aud !== config.client_id || (nonce && claims.nonce !== nonce)) throw new Error('The ID Token is not for this login.')
  const session = {
    user: claims.sub,
    roles: payload(answer.access_token).roles ?? [],
    token: answer.access_token,
    refresh: answer.refresh_token,
    expires: Date.now() + answer.expires_in * 1000,
  }
  sessionStorage.setItem(SESSION, JSON.stringify(session))
  return session
}

function payload(jwt) {
  const text = atob(jwt.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'))
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (c) => c.charCodeAt(0))))
}
