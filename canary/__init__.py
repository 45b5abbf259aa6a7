"""ASK: what does a customer in this zone get from every endpoint?"""
