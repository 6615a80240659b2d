package lifecycle

import "slices"

// Processes lists the numbers of the container's processes, as the host counts,
// in ascending order.
func (r *Root) Processes(id string) ([]int, error) {
	c, err := r.Load(id)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	g, err := c.group()
	if err != nil {
		return nil, err
	}
	pids, err := g.Pids()
	if err != nil {
		return nil, err
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}
