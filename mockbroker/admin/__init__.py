"""What an operator sees and does: listings, rabbitmqctl's commands, definitions."""
