"""A world of drawn pages: invoices, receipts, forms, letters and tables whose words and facts are known."""
