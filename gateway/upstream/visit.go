package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"topicgate/frames"
)

// EndSession ends the MQTT Session of a Client Identifier on every broker, without a Will: it is taken over, which calls
// a delayed Will off [MQTT-3.1.3-9], and left with a Session Expiry Interval of zero. A broker that knows no 5.0 has
// no delayed Wills; there the Session is replaced by one that ends with its connection. connect holds the Client
// Identifier and what else the broker asks for; each connection takes no longer than timeout. A broker that rests is not
// waited for, which is an error.
func (b *Brokers) EndSession(ctx context.Context, timeout time.Duration, connect frames.Connect) error {
	errs := make([]error, len(b.all))
	var visits sync.WaitGroup
	for i, one := range b.all {
		visits.Go(func() {
			if err := b.endOn(ctx, timeout, one, connect); err != nil {
				errs[i] = fmt.Errorf("upstream %s: %w", one.address, err)
			}
		})
	}
	visits.Wait()
	return errors.Join(errs...)
}

// Visit takes over the MQTT Session of a Client Identifier on one broker, which calls a delayed Will off
// [MQTT-3.1.3-9], and leaves it as it was. connect is of 5.0, with the Session Expiry Interval that is to be left.
func (b *Brokers) Visit(ctx context.Context, address string, connect frames.Connect) error {
	for _, one := range b.all {
		if one.address == address {
			return b.visit(ctx, one, connect, frames.V5)
		}
	}
	return fmt.Errorf("no broker %s", address)
}

// ErrVersion is what a broker says, or means, that knows no 5.0.
var ErrVersion = errors.New("knows no MQTT 5.0")

func (b *Brokers) endOn(ctx context.Context, timeout time.Duration, one *broker, connect frames.Connect) error {
	if time.Now().UnixNano() < one.downUntil.Load() {
		return errors.New("was not to be reached just now")
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := b.visit(ctx, one, connect, frames.V5)
	if errors.Is(err, ErrVersion) {
		connect.CleanStart = true
		err = b.visit(ctx, one, connect, frames.V311)
	}
	return err
}

// visit connects and leaves, without a Will. A broker that cannot be reached, or does not answer, rests.
func (b *Brokers) visit(ctx context.Context, one *broker, connect frames.Connect, v frames.Version) error {
	if err := one.turns.Acquire(ctx, 1); err != nil {
		return err
	}
	defer one.turns.Release(1)
	connect.Version = v
	if v != frames.V5 && !connect.HasUsername {
		connect.HasPassword, connect.Password = false, nil // [MQTT-3.1.2-22] of 3.1.1
	}
	made := b.Dial("", netip.AddrPort{}, nil).open(ctx, one, 1)
	if made.err != nil {
		one.rest(made.err)
		return made.err
	}
	conn := made.conn
	defer conn.Close()
	connack, err := exchangeConnect(ctx, &conn, connect.Append(nil, v), v, frames.MaxPacketBytes, 1)
	switch {
	case err != nil && isTimeout(err):
		one.rest(err)
		return err
	case one.knowsNo5(v, err):
		return fmt.Errorf("%w: %w", ErrVersion, err)
	case err != nil:
		return err
	case connack.Reason == frames.UnsupportedProtocolVersion && v == frames.V5:
		return ErrVersion
	case connack.Reason != frames.Success:
		return fmt.Errorf("CONNACK %s", Describe(connack.Reason, v))
	}
	_, err = conn.Stream.Write(frames.Disconnect{}.Append(nil, v))
	conn.HalfClose()
	conn.Drain(time.Now().Add(time.Second)) // the broker has read it when it closes
	return err
}
