package agent

const recordKey = "record"
