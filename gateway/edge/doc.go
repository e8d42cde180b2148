// Package edge knows who is at the other end of a connection, as far as the network and HTTP tell, and with which
// certificate the gateway shows itself.
//
//	clientaddr.go  whose word about a client's address is believed: X-Forwarded-For, PROXY protocol
//	origin.go      from which pages a browser may connect
//	tokens.go      where in a request a token may stand; the client's certificate
//	certs.go       certificate files that are replaced while the gateway runs
//
// Nothing here decides who somebody is: tokens are verified in package auth, on behalf of a session.
//
// CertReloader has one lock, which a handshake holds for as long as it reads the files; no other is taken under it.
// Everything else is functions of their arguments.
package edge
