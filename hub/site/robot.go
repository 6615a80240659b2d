package site

import "github.com/berth-engine/berth/hub/account"

type robotsBody struct {
	Space                  spaceBody
	Robots                 []account.Robot
	Login, Secret, Problem string
}

func (v *visit) robots() error { return v.showRobots(robotsBody{}) }

func (v *visit) showRobots(b robotsBody) (err error) {
	if b.Space, err = v.namespace(); err != nil {
		return err
	}
	if b.Robots, err = v.Accounts.Robots(v.ctx(), v.by, b.Space.Name); err != nil {
		return err
	}
	return v.show("robots", b.Space.page("robots", b))
}

func (v *visit) robotProblem(text string) error { return v.showRobots(robotsBody{Problem: text}) }

func (v *visit) createRobot() error {
	expires, err := v.expiry()
	if err != nil {
		return err
	}
	n := account.NewRobot{Name: v.r.PostFormValue("name"), About: v.r.PostFormValue("about"), Expires: expires}
	r, secret, err := v.Accounts.CreateRobot(v.ctx(), v.by, v.r.PathValue("space"), n)
	if err != nil {
		return v.again(err, v.robotProblem)
	}
	return v.showRobots(robotsBody{Login: r.Login(), Secret: secret})
}

func (v *visit) changeRobot() error {
	space, name := v.r.PathValue("space"), v.r.PathValue("robot")
	var err error
	said := ""
	switch v.r.PathValue("action") {
	case "renew":
		secret, err := v.Accounts.RenewRobot(v.ctx(), v.by, space, name)
		if err != nil {
			return v.again(err, v.robotProblem)
		}
		return v.showRobots(robotsBody{Login: account.Robot{Namespace: space, Name: name}.Login(), Secret: secret})
	case "lock":
		err, said = v.Accounts.SetRobotDisabled(v.ctx(), v.by, space, name, true), "is locked."
	case "open":
		err, said = v.Accounts.SetRobotDisabled(v.ctx(), v.by, space, name, false), "may sign in again."
	case "delete":
		err, said = v.Accounts.DeleteRobot(v.ctx(), v.by, space, name), "is removed."
	default:
		return errNoPage
	}
	if err != nil {
		return v.again(err, v.robotProblem)
	}
	return v.done(v.spacePath("robots"), "The robot "+name+" "+said)
}
