package edge

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/pires/go-proxyproto"
)

// proxyHeaderTimeout bounds the wait for a PROXY protocol header. A proxy sends it with its first
// segment; one that sends none is heard of when the client's first bytes are there, or now.
const proxyHeaderTimeout = 5 * time.Second

// TrustedProxies are the networks whose word about a client's address is believed, by
// X-Forwarded-For and by the PROXY protocol. IPv4 networks are written as such, not mapped to IPv6.
type TrustedProxies []netip.Prefix

// contains ignores a zone, since a Prefix has none and would contain no address that has one.
func (t TrustedProxies) contains(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, prefix := range t {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// ClientAddr gives the address of the client that sent r: the peer's own, unless that is a
// trusted proxy. Then X-Forwarded-For is walked from the right, as each hop appended to it, to the
// first address that is no trusted proxy. What stands to the left of that one, or of an entry that
// is no address, was written by somebody who is not trusted. The port is 0 where a proxy named
// none; the zero AddrPort means that the peer has no IP address.
func (t TrustedProxies) ClientAddr(r *http.Request) netip.AddrPort {
	client, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.AddrPort{}
	}
	client = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
	// Several lines of a header are one list in the order of the lines (RFC 9110 section 5.3).
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		rest, more := lines[i], true
		for more {
			if !t.contains(client.Addr()) {
				return client
			}
			var entry string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, entry = rest[:comma], rest[comma+1:]
			} else {
				entry, more = rest, false
			}
			hop, ok := parseHop(entry)
			if !ok {
				return client
			}
			client = hop
		}
	}
	return client
}

// parseHop reads one entry of X-Forwarded-For: an address, in brackets or not, with a port or not.
// A zone means something on the hop's own machine only and is cut off.
func parseHop(s string) (hop netip.AddrPort, ok bool) {
	s = strings.Trim(s, " \t")
	hop, err := netip.ParseAddrPort(s)
	if err != nil {
		if inner, found := strings.CutPrefix(s, "["); found {
			if s, found = strings.CutSuffix(inner, "]"); !found {
				return netip.AddrPort{}, false
			}
		}
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return netip.AddrPort{}, false
		}
		hop = netip.AddrPortFrom(addr, 0)
	}
	return netip.AddrPortFrom(hop.Addr().Unmap().WithZone(""), hop.Port()), true
}

// Listener gives l's connections with the address that a PROXY protocol header (version 1 or 2)
// names, when a trusted proxy sent one; it is optional, as proxies differ. From other peers such a
// header is the client's first, malformed, bytes. The header is read by the first Read, Write or
// RemoteAddr of a connection, so Accept never waits for it. Without proxies l is returned as it is.
//
// A connection of a trusted proxy is a *proxyproto.Conn; its Raw gives the connection below. What
// came with the header, at most 256 bytes, is in the wrapper until the first Read into a buffer of
// that size. Both net/http and crypto/tls read into larger ones, so once an HTTP request was read,
// the connection below may be read directly.
func (t TrustedProxies) Listener(l net.Listener) net.Listener {
	if len(t) == 0 {
		return l
	}
	return &proxyproto.Listener{
		Listener:          l,
		ReadHeaderTimeout: proxyHeaderTimeout,
		ValidateHeader:    validProxyHeader,
		// An error here would end Accept for everybody, so there is none.
		ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			if peer, ok := o.Upstream.(*net.TCPAddr); ok && t.contains(peer.AddrPort().Addr()) {
				return proxyproto.USE, nil
			}
			return proxyproto.SKIP, nil
		},
	}
}

// validProxyHeader refuses what names no TCP client, such as a UNIX socket: its path would stand
// where addresses are expected. LOCAL and UNSPEC (health checks) name nobody and mean the peer.
func validProxyHeader(h *proxyproto.Header) error {
	if h.Command.IsLocal() || h.TransportProtocol.IsUnspec() {
		return nil
	}
	if _, ok := h.SourceAddr.(*net.TCPAddr); !ok {
		return errors.New("PROXY protocol header: the client is not connected over TCP")
	}
	return nil
}
