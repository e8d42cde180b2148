//go:build !linux

package wire

// Lot parks nobody.
type Lot[P any] struct{}

// NewLot makes a lot.
func NewLot[P any](func(P)) *Lot[P] { return &Lot[P]{} }

// Put reports that nobody was parked.
func (*Lot[P]) Put(*Socket, P) bool { return false }

// Wake does nothing.
func (*Lot[P]) Wake(*Socket) {}

// Close does nothing.
func (*Lot[P]) Close() {}
