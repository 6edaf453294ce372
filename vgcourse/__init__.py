"""What only this course needs: its claims, questions, experiments and their results."""
