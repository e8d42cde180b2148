package frames

// Disconnect is a DISCONNECT (section 3.14). Before 5.0 it is empty, and only a
// client sends it.
type Disconnect struct {
	Reason     ReasonCode
	Properties Properties
}

// ParseDisconnect reads a DISCONNECT, in 5.0 also the short forms. When nothing is wrong
// but an illegal Reason Code, every field is filled, as with [ParseAck].
func ParseDisconnect(p Packet, v Version) (Disconnect, error) {
	if err := begin(p, TypeDisconnect, v); err != nil {
		return Disconnect{}, err
	}
	c := cursor{rest: p.Body, t: TypeDisconnect}
	var m Disconnect
	m.Reason, m.Properties = c.reasonAndProperties(v, inDisconnect)
	if err := c.end(); err != nil {
		return Disconnect{}, err
	}
	return m, checkReason(m.Reason, TypeDisconnect, v)
}

// Append appends the whole packet, in 5.0 in the shortest form.
func (m Disconnect) Append(dst []byte, v Version) []byte {
	dst = appendHeader(dst, TypeDisconnect, reasonSize(m.Reason, m.Properties, v))
	return appendReason(dst, m.Reason, m.Properties, v)
}

// Auth is an AUTH (section 3.15), which 5.0 alone has.
type Auth struct {
	Reason     ReasonCode
	Properties Properties
}

// ParseAuth reads an AUTH. Without properties it is legal only as the empty packet
// that means Success (section 3.15.2.1); else it names its Authentication Method
// (section 3.15.2.2.2). Illegal Reason Codes as with [ParseAck].
func ParseAuth(p Packet, v Version) (Auth, error) {
	if err := begin(p, TypeAuth, v); err != nil {
		return Auth{}, err
	}
	c := cursor{rest: p.Body, t: TypeAuth}
	var m Auth
	m.Reason, m.Properties = c.reasonAndProperties(v, inAuth)
	if c.err == nil && (m.Reason != Success || len(m.Properties) > 0) {
		if _, ok := m.Properties.Bytes(PropAuthenticationMethod); !ok {
			c.fail(protocolError(TypeAuth, "", "no Authentication Method"))
		}
	}
	if err := c.end(); err != nil {
		return Auth{}, err
	}
	return m, checkReason(m.Reason, TypeAuth, v)
}

// Append appends the whole packet in the shortest form.
func (m Auth) Append(dst []byte, v Version) []byte {
	dst = appendHeader(dst, TypeAuth, reasonSize(m.Reason, m.Properties, v))
	return appendReason(dst, m.Reason, m.Properties, v)
}
