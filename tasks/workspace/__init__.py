"""What a workspace holds, who needs it, and the removal of what nobody needs."""
