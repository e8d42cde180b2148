package wire

// Direction says which way a packet travels: up is towards the broker, down towards the client.
type Direction uint8

const (
	Up Direction = iota
	Down
)

// Directions is how many there are.
const Directions = 2

func (d Direction) String() string { return [...]string{Up: "up", Down: "down"}[d] }
