// Elements without markup: whatever a user, a broker or Redis says is text, never HTML.

export const byId = (id) => document.getElementById(id)

/** h makes an element: h('button', {class: 'quiet', onclick: f}, 'Sign out'). Attributes that are null or false are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value)
    else if (value === true) element.setAttribute(name, '')
    else if (value !== null && value !== false && value !== undefined) element.setAttribute(name, value)
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false))
  return element
}

/** avatar is the coloured initial of a user. */
export const avatar = (name) => h('span', { class: 'avatar', 'data-user': name, 'aria-hidden': 'true' }, name.slice(0, 1))


export const clock = (date) => date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' })
