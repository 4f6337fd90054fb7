"""The billing service: what calls cost, invoices, payments. A process of its own."""
