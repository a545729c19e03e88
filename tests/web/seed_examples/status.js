const axios = require('axios');

async function getPrinterStatus(port) {
  try {
    const response = await axios.get(`http://localhost:${port}/status`);
    return response.data;
  } catch (error) {
    console.error('Error fetching status:', error.message);
    return null;
  }
}

async function displayAllPrinters(port) {
  const printers = await getPrinterStatus(port);
  if (!printers) return;

  printers.forEach(printer => {
    console.log(`\n${printer.attributes.Name} (${printer.machine_id})`);
    console.log(`  Status: ${getStatusName(printer.status.CurrentStatus)}`);

    const info = printer.status.PrintInfo;
    if (info.TotalLayer > 0) {
      const progress = (info.CurrentLayer / info.TotalLayer) * 100;
      console.log(`  Progress: ${info.CurrentLayer}/${info.TotalLayer} (${progress.toFixed(1)}%)`);
      console.log(`  File: ${info.Filename}`);
    }
  });
}

function getStatusName(status) {
  const names = ['Ready', 'Busy', 'Transferring File'];
  return names[status] || 'Unknown';
}

// Usage
setInterval(() => displayAllPrinters(8080), 5000);
