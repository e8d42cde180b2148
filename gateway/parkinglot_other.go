//go:build !linux

package gateway

// parkingLot parks nobody.
type parkingLot struct{}

func (*parkingLot) put(*socket, parked) bool { return false }
func (*parkingLot) wake(*socket)             {}
func (*parkingLot) close()                   {}
