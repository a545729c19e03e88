#!/bin/bash

PORT=8080

while true; do
  clear
  echo "=== Printer Status ==="
  echo

  curl -s "http://localhost:${PORT}/status" | jq -r '.[] |
    "\(.attributes.Name) (\(.machine_id))\n" +
    "  Status: \(.status.CurrentStatus)\n" +
    "  Layer: \(.status.PrintInfo.CurrentLayer)/\(.status.PrintInfo.TotalLayer)\n" +
    "  File: \(.status.PrintInfo.Filename)\n"'

  sleep 5
done
